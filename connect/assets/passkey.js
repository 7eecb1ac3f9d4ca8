// Signs in with a passkey, or adds one. Both blocks stay hidden where the browser has none.
const supported = window.PublicKeyCredential?.parseRequestOptionsFromJSON && window.PublicKeyCredential?.parseCreationOptionsFromJSON;

async function send(block, step, more = {}) {
  const { base, csrf, request, environment } = block.dataset;
  const form = new URLSearchParams({ csrf, ...(request ? { request } : { environment }), ...more });
  const answer = await fetch(`${base}/connect/passkey/${step}`, { method: 'POST', body: form });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

function offer(block, act) {
  if (!block || !supported) return;
  block.hidden = false;
  const button = block.querySelector('button');
  const problem = block.querySelector('.problem');
  button.addEventListener('click', async () => {
    problem.hidden = true;
    button.disabled = true;
    try {
      await act();
    } catch {
      problem.textContent = block.dataset.failed;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}

const signIn = document.getElementById('passkey');
offer(signIn, async () => {
  const { options, ceremony } = await send(signIn, 'begin');
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey);
  const credential = await navigator.credentials.get({ publicKey });
  const { location: next } = await send(signIn, 'finish', { ceremony, response: JSON.stringify(credential) });
  location.assign(next);
});

const register = document.getElementById('register');
offer(register, async () => {
  const { options, ceremony } = await send(register, 'add/begin');
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey);
  const credential = await navigator.credentials.create({ publicKey });
  await send(register, 'add/finish', { ceremony, response: JSON.stringify(credential) });
  const done = register.querySelector('.done');
  done.textContent = register.dataset.done;
  done.hidden = false;
});
