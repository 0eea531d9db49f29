// The words of inside.js, notices.js, labels.js, admin.js and me.js. Both languages have the same keys.
export default {};
