// Verifies webhook messages by npm standardwebhooks. It reads one JSON document
// from its standard input, {secret, messages: [{headers, body}]}, and prints
// true or false for each message.
import { Webhook } from 'standardwebhooks';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { secret, messages } = JSON.parse(text);
const webhook = new Webhook(secret);
console.log(JSON.stringify(messages.map(({ headers, body }) => {
  try {
    webhook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
})));
