// Hands the answer to the page that opened this one, if it is of the registered origin.
const handover = document.getElementById('handover');
const { origin, state, result } = handover.dataset;
const receiver = window.opener ?? (window.parent === window ? null : window.parent);
receiver?.postMessage({ type: 'gatehouse:connect', state, result: JSON.parse(result) }, origin);
handover.removeAttribute('data-result');
if (!receiver) document.getElementById('stays').hidden = false;
