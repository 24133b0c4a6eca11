const SIGNIFICANT = new Intl.NumberFormat('en', {maximumSignificantDigits: 3});

/** With three significant digits: `118,000`, `9.42`. */
export function show(value: number): string {
	return Number.isFinite(value) ? SIGNIFICANT.format(value) : '–';
}

export function showPercent(share: number): string {
	return `${show(share * 100)} %`;
}

const UNITS = [
	[1_000_000, 's'],
	[1000, 'ms'],
	[1, 'µs'],
] as const;

/** `31.6 µs`, `1 ms`. */
export function showMicros(micros: number): string {
	const [size, unit] = UNITS.find(([size]) => micros >= size) ?? [1, 'µs'];
	return `${show(micros / size)} ${unit}`;
}
