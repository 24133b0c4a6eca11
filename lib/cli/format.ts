/** Numbers, rates and times as the commands print them. */

/** A number with a comma at each thousand. A damaged row may have another value, which is shown as it is. */
export function count(value: number): string {
	return typeof value === 'number' ? value.toLocaleString('en-US') : String(value);
}

export function formatRate(perSecond: number): string {
	if (perSecond < 0.5) return `${(perSecond * 60).toFixed(1)}/min`;
	return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** A time such as `0:07`, `12:30` or `1:02:30`. */
export function clock(seconds: number): string {
	const whole = Math.ceil(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (value: number) => String(value).padStart(2, '0');
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A date and time. A damaged row may have a number that is not a date, which is shown as it is. */
export function formatTime(at: number): string {
	const date = new Date(at);
	return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}
