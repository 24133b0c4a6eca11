/** A moment for people; one that no calendar has, as a damaged row may say, as the number that it is. */
export function formatTime(at: number): string {
	const date = new Date(at);
	return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}
