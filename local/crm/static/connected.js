// Where Google's consent ends: hands the one-time ticket to the CRM's page and closes.
// It came in the fragment, which no server sees; it goes by a channel that only this origin can hear.
const answer = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
history.replaceState(null, "", location.pathname);
const channel = new BroadcastChannel("gmail-connection");
channel.postMessage(answer);
channel.close();
document.getElementById("status").textContent = answer.ticket
  ? "Done. You can close this window."
  : `Not connected (${answer.error ?? "no answer"}). You can close this window.`;
window.close();
