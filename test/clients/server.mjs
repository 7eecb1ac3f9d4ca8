// The running server, as clients_test.go hands it to the programs: what
// `gatehouse dev --json` printed, and the command line for its owner.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const dev = JSON.parse(process.env.GATEHOUSE_DEV);

export const url = dev.url;

/** The issuer of an environment. */
export const issuer = (environment) => (environment === 'sandbox' ? `${dev.url}/sandbox` : dev.url);

/** The demo client of a dialect in an environment. */
export function demo(dialect, environment = 'live') {
  const found = dev.clients.find((c) => c.dialect === dialect && c.environment === environment);
  if (!found) throw new Error(`dev lists no ${dialect} client for ${environment}`);
  return { id: found.client_id, secret: found.client_secret, scopes: found.scopes };
}

/** Runs an administrative command and returns its JSON document. */
export function gatehouse(...args) {
  const out = execFileSync(process.env.GATEHOUSE, [...args, '--json', '--data', process.env.GATEHOUSE_DATA], { encoding: 'utf8' });
  return JSON.parse(out);
}

/** Starts `gatehouse gate` with these settings; returns where it answers, once it follows the journal. */
export async function startGate(settings) {
  const dir = mkdtempSync(join(tmpdir(), 'gate-'));
  writeFileSync(join(dir, 'gate.yaml'), settings, { mode: 0o600 });
  const gate = spawn(process.env.GATEHOUSE, ['gate', '--config', join(dir, 'gate.yaml')], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, GATEHOUSE_LOG_LEVEL: 'info' } });
  const ended = new Promise((resolve) => gate.once('exit', resolve));
  const stop = async () => {
    gate.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true });
  };
  const lines = [];
  let at;
  let followed = false;
  for await (const line of createInterface(gate.stderr)) {
    lines.push(line);
    if (!line.startsWith('{')) continue;
    const said = JSON.parse(line);
    if (said.msg === 'serving') at = said;
    followed ||= said.msg === 'the journal is being followed';
    if (at && followed) {
      gate.stderr.resume();
      return { url: at.url, proxy: at.proxy, stop };
    }
  }
  await stop();
  throw new Error(`the gate does not start:\n${lines.join('\n')}`);
}
