// A token, taken apart as far as anyone can who hasn't the key.
import { element as e } from './element.js';

function decode(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
}

/** The header and claims of a JWT, undefined where it is none. */
export function claimsOf(token) {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    return { header: decode(parts[0]), claims: decode(parts[1]) };
  } catch {
    return undefined;
  }
}

const times = new Set(['iat', 'exp', 'nbf', 'auth_time']);

function shown(name, value) {
  if (times.has(name) && typeof value === 'number') return `${value} · ${new Date(value * 1000).toLocaleString()}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const list = (object) => e('dl', {}, ...Object.entries(object).flatMap(([name, value]) => [e('dt', {}, name), e('dd', {}, shown(name, value))]));

/** What can be seen of a token. */
export function anatomy(token) {
  const jwt = claimsOf(token);
  if (!jwt) {
    const end = token.lastIndexOf('_') + 1;
    return [
      e('p', { class: 'raw' }, e('span', {}, token.slice(0, end)), e('span', {}, token.slice(end))),
      e('p', {}, end > 0 ? 'Opaque: behind its prefix there is nothing to read. Only the server knows what it stands for.' : 'Opaque: only the server knows what it stands for.'),
    ];
  }
  const [header, claims, signature] = token.split('.');
  return [
    e('p', { class: 'raw', tabindex: '0', role: 'region', 'aria-label': 'The token as it is' }, e('span', {}, header), '.', e('span', {}, claims), '.', e('span', {}, signature)),
    e('h4', {}, 'Header'), list(jwt.header), e('h4', {}, 'Claims'), list(jwt.claims),
    e('p', {}, 'Decoding proves nothing: anyone can. The signature is checked by whoever has the public key.'),
  ];
}

/** A span of seconds for people: 1:59:07. */
export function clock(s) {
  const two = (n) => String(n).padStart(2, '0');
  const days = Math.floor(s / 86400);
  const rest = `${Math.floor((s % 86400) / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(Math.floor(s % 60))}`;
  return days > 0 ? `${days} d ${rest}` : rest;
}
