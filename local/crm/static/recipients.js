// Addresses as people type them, and who gets an answer. Pure.

// "Mia <mia@x.example>; b@y.example" → [{name, address}]. Commas within quotes do not part.
export function parseRecipients(typed) {
  return (typed.match(/(?:"[^"]*"|[^,;\n])+/g) ?? []).map((one) => one.trim()).filter(Boolean).map((one) => {
    const [, name, address] = one.match(/^(.*?)\s*<([^<>]*)>$/) ?? [null, "", one];
    return { ...(name ? { name: name.replace(/^"|"$/g, "") } : {}), address: address.trim() };
  });
}

export function showRecipients(people) {
  return (people ?? []).map(({ name, address }) => (name ? `${/[,;<>"]/.test(name) ? `"${name.replaceAll('"', "")}"` : name} <${address}>` : address))
    .join(", ");
}

export function looksWrong(people) {
  return people.filter(({ address }) => !/^[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+$/.test(address)).map(({ address }) => address);
}

// As RFC 5322, 3.6.3 has it: Reply-To before From; the answer to one's own mail goes to its recipients again.
export function answerTo(mail, ownAddresses, toAll) {
  const own = new Set(ownAddresses.map((one) => one.toLowerCase()));
  const others = (people, known) => people.filter(({ address }) => address && !known.has(address.toLowerCase()));
  const isOwn = mail.from && own.has(mail.from.address.toLowerCase());
  const authors = isOwn ? mail.to : mail.reply_to?.length ? mail.reply_to : [mail.from].filter(Boolean);
  const to = others(authors, own).length ? others(authors, own) : authors;
  const taken = new Set([...own, ...to.map(({ address }) => address.toLowerCase())]);
  return { to, cc: toAll ? others([...mail.to, ...mail.cc], taken) : [] };
}

export function answerSubject(subject, mode) {
  if (mode === "forward") return /^\s*(fwd?|wg|tr)\s*:/i.test(subject) ? subject : `Fwd: ${subject}`;
  return /^\s*(re|aw|antw|sv)(\[\d+\])?\s*:/i.test(subject) ? subject : `Re: ${subject}`;
}
