/**
 * Opens a Connect page in a pop-up or a frame and hands over what it gives.
 * Listens to the Connect page's origin and to the window that was opened here, and to no other.
 */

/** A connection that did not come about. `code` is `access_denied` where the user refused, `closed`, `blocked`, or the server's word. */
export class ConnectError extends Error {
  constructor(code, message) {
    super(message || code);
    this.name = 'ConnectError';
    this.code = code;
  }
}

const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

/**
 * The URL of a Connect page, for a client whose dialect hands over a connect message.
 * Clients of standard OAuth 2.0 take the URL that their backend made instead.
 */
export function connectURL({ server, clientId, display = 'popup', state, locale, loginHint }) {
  const url = new URL(server.replace(/\/?$/, '/') + 'connect/open');
  const parameters = {
    client_id: clientId, response_mode: 'web_message', origin: location.origin, display, state, ui_locales: locale, login_hint: loginHint,
  };
  for (const [name, value] of Object.entries(parameters)) if (value) url.searchParams.set(name, value);
  return url.href;
}

/** Opens it in a pop-up. Call this in the handler of a click, or browsers block the window. */
export function openPopup(options) {
  const { url, state } = request(options, 'popup');
  const width = 480;
  const height = 720;
  const left = Math.max(0, window.screenX + (window.outerWidth - width) / 2);
  const top = Math.max(0, window.screenY + (window.outerHeight - height) / 2);
  const child = window.open(url, 'gatehouse-connect', `popup,width=${width},height=${height},left=${left},top=${top}`);
  if (!child) return Promise.reject(new ConnectError('blocked', 'the browser blocked the window: open it when the user clicks'));
  return answer(url, state, () => child, options.signal, () => child.close(), () => child.closed);
}

/** Opens it in a frame within `container`, and takes the frame away when it has answered. */
export function openFrame(options) {
  const { url, state } = request(options, 'frame');
  const frame = document.createElement('iframe');
  frame.title = options.title || 'Connect';
  frame.style.cssText = 'border:0;width:100%;height:100%;min-height:600px';
  const answered = answer(url, state, () => frame.contentWindow, options.signal, () => frame.remove(), () => !frame.isConnected);
  frame.src = url;
  options.container.append(frame);
  return answered;
}

function request(options, display) {
  if (options.url) {
    // A pushed request's state is not in its URL: the backend compares it.
    return { url: options.url, state: new URL(options.url).searchParams.get('state') ?? undefined };
  }
  const state = options.state || random();
  return { url: connectURL({ ...options, display, state }), state };
}

function answer(url, state, from, signal, close, isClosed) {
  const origin = new URL(url).origin;
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      clearInterval(watch);
      window.removeEventListener('message', listen);
      signal?.removeEventListener('abort', abort);
      close();
      settle(value);
    };
    const listen = (event) => {
      if (event.origin !== origin || event.source !== from()) return;
      if (event.data?.type !== 'gatehouse:connect') return;
      const { result, state: returned } = event.data;
      if (state !== undefined && returned !== state) return end(reject, new ConnectError('state', 'the answer is for another request'));
      if (result?.error) return end(reject, new ConnectError(result.error, result.error_description));
      return end(resolve, result);
    };
    const abort = () => end(reject, new ConnectError('closed', 'given up'));
    const watch = setInterval(() => isClosed() && end(reject, new ConnectError('closed', 'the window was closed')), 300);
    window.addEventListener('message', listen);
    signal?.addEventListener('abort', abort);
  });
}
