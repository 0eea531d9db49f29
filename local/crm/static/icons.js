// Small line icons, drawn in a 24 by 24 square. They decorate: what a control does, its name says.

const PATHS = {
  archive: "M3 5h18v4H3zM5 9v10h14V9M10 13h4",
  back: "M15 5l-7 7 7 7",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  check: "M5 13l4 4 10-11",
  chevron: "M9 5l7 7-7 7",
  clip: "M8 12l6-6a3 3 0 0 1 4 4l-8 8a5 5 0 0 1-7-7l8-8",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2",
  close: "M6 6l12 12M18 6L6 18",
  cloud: "M7 18a4 4 0 0 1 0-8 5 5 0 0 1 9.5-1A4.5 4.5 0 0 1 17 18zM3 3l18 18",
  draft: "M14 4l6 6L9 21H3v-6zM12 6l6 6",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  eyeOff: "M4 4l16 16M9.5 5.400A10 10 0 0 1 12 5c6 0 10 7 10 7a17 17 0 0 1-3 3.700M6 7a17 17 0 0 0-4 5s4 7 10 7a9 9 0 0 0 4.5-1.200",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  forward: "M14 5l6 6-6 6M20 11H10a6 6 0 0 0-6 6v2",
  gear: "M12 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15 9h.01",
  inbox: "M4 5h16v14H4zM4 13h5l1.5 2.5h3L15 13h5",
  inside: "M4 5h16v14H4zM14 5v14",
  key: "M14.5 4a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM10.5 13.5L3 21M6 18l2 2",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  mail: "M3 6h18v12H3zM3 7l9 7 9-7",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  people: "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 20a6.5 6.5 0 0 1 13 0M16 5.300a3.5 3.5 0 0 1 0 6.400M18 14.5a6.5 6.5 0 0 1 3.5 5.5",
  pin: "M9 4h6l-1 6 3 4H7l3-4zM12 14v7",
  plus: "M12 5v14M5 12h14",
  question: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.300c-.7.3-1 .8-1 1.700M12 17h.01",
  refresh: "M20 11a8 8 0 1 0-2.300 6.5M20 5v6h-6",
  reply: "M10 5l-6 6 6 6M4 11h10a6 6 0 0 1 6 6v2",
  replyAll: "M12 5l-6 6 6 6M8 5l-6 6 6 6M6 11h9a6 6 0 0 1 6 6v2",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21",
  send: "M4 12L20 4l-5 16-4-6zM11 14l9-10",
  share: "M12 15V4M8 8l4-4 4 4M5 13v7h14v-7",
  shield: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6z",
  star: "M12 3.5l2.600 5.400 5.900.8-4.300 4.100 1 5.900-5.200-2.800-5.200 2.800 1-5.900L3.5 9.700l5.900-.8z",
  tag: "M4 4h8l8.5 8.5-8 8L4 12zM8.5 8.5h.01",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  undo: "M8 5L4 9l4 4M4 9h10a6 6 0 0 1 0 12h-3",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20a7.5 7.5 0 0 1 15 0",
  warning: "M12 4l9.5 16h-19zM12 10v4M12 17h.01",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.question);
  svg.append(path);
  return svg;
}
