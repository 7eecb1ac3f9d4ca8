// Hands the answer to the app without a click. The button does it where scripts are off.
const form = document.getElementById('handover');
history.replaceState(null, '');
form.submit();
