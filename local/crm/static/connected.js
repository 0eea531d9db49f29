// Where Google's consent ends: hands the one-time ticket to the CRM's page and closes.
// It came in the fragment, which no server sees; it goes by a channel that only this origin can hear.
const WORDS = {
  en: ["Done. You can close this window.", "Not connected. You can close this window."],
  de: ["Fertig. Sie können dieses Fenster schließen.", "Nicht verbunden. Sie können dieses Fenster schließen."],
};
const language = navigator.language.startsWith("de") ? "de" : "en";
const answer = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
history.replaceState(null, "", location.pathname);
const channel = new BroadcastChannel("gmail-connection");
channel.postMessage(answer);
channel.close();
document.documentElement.lang = language;
document.getElementById("status").textContent = WORDS[language][answer.ticket ? 0 : 1];
window.close();
