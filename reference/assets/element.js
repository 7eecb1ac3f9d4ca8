/** Makes an element. Text becomes text: nothing here is ever parsed as markup. */
export function element(name, attributes = {}, ...children) {
  const out = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') out.addEventListener(key, value);
    else if (value !== undefined) out.setAttribute(key, value);
  }
  out.append(...children.filter((c) => c !== undefined));
  return out;
}
