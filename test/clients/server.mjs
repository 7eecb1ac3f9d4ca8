// The running server, as clients_test.go hands it to the programs: what
// `gatehouse dev --json` printed, and the command line for its owner.
import { execFileSync } from 'node:child_process';

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
