/* The few helpers of the screens: memo, without the compatibility layer it usually comes in, and a clock. */

import { Component, h, type ComponentChildren, type FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

export { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/* The component, drawn again only when isSame says that the properties differ. */
export function memo<P>(
	draw: (props: P) => ComponentChildren,
	isSame: (a: P, b: P) => boolean,
): FunctionComponent<P> {
	class Memo extends Component<P> {
		override shouldComponentUpdate(next: P): boolean {
			return !isSame(this.props as P, next);
		}
		override render(): ComponentChildren {
			return h(draw as FunctionComponent<P>, this.props as never);
		}
	}
	return Memo as unknown as FunctionComponent<P>;
}

/* The time, coming again every second. */
export function useNow(): number {
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), 1000);
		return () => clearInterval(timer);
	}, []);
	return now;
}
