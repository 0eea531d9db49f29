// The files of a mail that is being written: chosen, dropped, carried over from a draft, taken off again.
import { button, element, icon } from "./dom.js";

const MOST_BYTES = 25_000_000;

export function attachFiles(session, changed) {
  const files = [];
  const list = element("ul", { className: "files" });
  const show = () => {
    list.replaceChildren(...files.map((file, index) => element("li", { className: "file-chosen" }, icon("clip"),
      element("span", { className: "grow", textContent: file.name }), element("span", { className: "quiet small", textContent: session.size(file.size) }),
      button(session.t("compose.remove", { name: file.name }), () => {
        files.splice(index, 1);
        changed();
        show();
      }, { icon: "close", kind: "quiet icon small" }))));
  };
  const add = (more) => {
    if ([...files, ...more].reduce((sum, file) => sum + file.size, 0) > MOST_BYTES) {
      session.say(session.t("problem.message-too-large.text"), { kind: "error" });
      return;
    }
    files.push(...more);
    changed();
    show();
  };
  const input = element("input", { type: "file", multiple: true, hidden: true, "aria-label": session.t("compose.attach") });
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  list.append(input);
  const chooser = button(session.t("compose.attach"), () => input.click(), { icon: "clip", kind: "quiet icon" });
  return { list, button: element("span", {}, chooser, input), all: () => [...files], acceptDrops: (place) => acceptDrops(place, add), carry: carry(session, files, show) };
}

function acceptDrops(place, add) {
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
}

// Saving a draft states it whole: its files are fetched once, to be sent along again.
function carry(session, files, show) {
  return async (message) => {
    for (const one of message.attachments ?? []) {
      const { blob, revoke } = await session.client.attachment(message.id, one.part_id);
      revoke();
      files.push(new File([blob], one.filename, { type: one.content_type }));
    }
    show();
  };
}
