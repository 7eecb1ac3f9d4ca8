// What a refusal means: the answer is looked up in the dialect's error table.

function at(json, path) {
  return path.reduce((v, name) => v?.[name], json);
}

/** The reasons that an answer may have; empty where the table doesn't know it. */
export function reasonsOf(errors, status, text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch { /* told by its status alone */ }
  const fits = (e) => e.signs?.length > 0 && e.signs.every((s) => String(at(json, s.path)) === s.text);
  const found = errors.find((e) => e.status === status && fits(e)) ?? errors.find(fits);
  return (found ? [found] : errors.filter((e) => e.status === status)).flatMap((e) => e.why);
}
