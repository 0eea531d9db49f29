// Words, dates and numbers in the reader's language. Every visible text of the page comes through `t`.
import german from "./words_de.js";
import english from "./words_en.js";
import insideGerman from "./words_inside_de.js";
import insideEnglish from "./words_inside_en.js";
import mailGerman from "./words_mail_de.js";
import mailEnglish from "./words_mail_en.js";

const WORDS = {
  en: { ...english, ...mailEnglish, ...insideEnglish },
  de: { ...german, ...mailGerman, ...insideGerman },
};
export const LANGUAGES = { en: "English", de: "Deutsch" };
const DAY_MS = 86_400_000;

export function preferredLanguage() {
  const stored = localStorage.getItem("language");
  return stored in WORDS ? stored : navigator.language.startsWith("de") ? "de" : "en";
}

// t("key", {name: …}) fills {name}; with `count`, "key.one" or "key.other" is taken where they are there.
export function translator(language) {
  const words = WORDS[language];
  const plural = new Intl.PluralRules(language);
  const t = (key, values = {}) => {
    const counted = "count" in values ? words[`${key}.${plural.select(values.count)}`] : undefined;
    const text = counted ?? words[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
  t.has = (key) => key in words;
  return t;
}

// `when`: the hour today, the weekday this week, the day else. `whenExactly`: day and minute.
// `now` tells the time in milliseconds: the demo's clock may be ahead of the browser's.
export function dates(language, now) {
  const as = (options) => new Intl.DateTimeFormat(language, options);
  const hour = as({ hour: "2-digit", minute: "2-digit" });
  const weekday = as({ weekday: "short", hour: "2-digit", minute: "2-digit" });
  const day = as({ day: "numeric", month: "short" });
  const year = as({ day: "2-digit", month: "2-digit", year: "numeric" });
  const exact = as({ dateStyle: "full", timeStyle: "short" });
  const date = as({ dateStyle: "medium" });
  return {
    hour: (at) => hour.format(new Date(at)),
    date: (at) => date.format(new Date(at)),
    when: (at) => {
      const then = new Date(at);
      const today = new Date(now());
      if (then.toDateString() === today.toDateString()) return hour.format(then);
      if (Math.abs(today - then) < 6 * DAY_MS) return weekday.format(then);
      return (then.getFullYear() === today.getFullYear() ? day : year).format(then);
    },
    whenExactly: (at) => exact.format(new Date(at)),
  };
}

export function size(language, bytes) {
  const [value, unit] = bytes < 1_000_000 ? [bytes / 1000, "kilobyte"] : [bytes / 1_000_000, "megabyte"];
  const digits = value < 10 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: digits }).format(value);
}
