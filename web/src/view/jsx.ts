/* What the bundler turns the screens' elements into: calls of these two, which it finds here by itself. */

export { Fragment, h } from "preact";
