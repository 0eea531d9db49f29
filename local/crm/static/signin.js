// Who is it? The demo signs in by choice; a CRM has its own way.
import { avatar, button, element, icon } from "./dom.js";
import { LANGUAGES } from "./i18n.js";

export function signInPage(t, users, choose, again) {
  const card = (user) => {
    const node = element("button", { type: "button", className: "person" }, avatar(user.name, "large"),
      element("span", {}, element("strong", { textContent: user.name }),
        element("span", { className: "quiet", textContent: t(`signin.${user.id}`) })), icon("chevron"));
    node.addEventListener("click", () => choose(user));
    return node;
  };
  const languages = Object.entries(LANGUAGES).map(([code, name]) => button(name, () => {
    localStorage.setItem("language", code);
    again();
  }, { kind: "quiet", lang: code }));
  return element("main", { className: "signin" },
    element("img", { src: "/static/logo.svg", alt: "", className: "logo" }),
    element("h1", { tabIndex: -1, textContent: t("signin.title") }),
    element("p", { className: "quiet", textContent: t("signin.text") }),
    element("ul", { className: "persons" }, users.map((user) => element("li", {}, card(user)))),
    element("p", { className: "row center" }, languages));
}
