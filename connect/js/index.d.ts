/** What every way of opening takes. */
export interface OpenOptions {
  /** The server's URL, as its issuer for live has it. */
  server?: string;
  /** The client's id as it goes on the wire. */
  clientId?: string;
  /** Instead of server and clientId: the URL that the app's backend made, for clients of standard OAuth 2.0. */
  url?: string;
  /** Handed back and compared; made here where none is given. */
  state?: string;
  /** Languages, the preferred one first, such as "de en". */
  locale?: string;
  /** The name that the user is believed to sign in with. */
  loginHint?: string;
  /** Gives up when it is aborted. */
  signal?: AbortSignal;
}

export interface FrameOptions extends OpenOptions {
  /** Where the frame is put. */
  container: Element;
  /** What the frame is called for those who don't see it. */
  title?: string;
}

/** The members of the dialect's connect message, or code, state and iss. */
export type Result = Record<string, unknown>;

/** A connection that did not come about: `access_denied`, `closed`, `blocked`, `state`, or the server's word. */
export class ConnectError extends Error {
  readonly code: string;
}

export function connectURL(options: { server: string; clientId: string; display?: 'popup' | 'frame'; state?: string; locale?: string; loginHint?: string }): string;

/** Call it in the handler of a click, or browsers block the window. */
export function openPopup(options: OpenOptions): Promise<Result>;

export function openFrame(options: FrameOptions): Promise<Result>;
