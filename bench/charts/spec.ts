import type {Field, PositionFieldDef} from 'vega-lite/types_unstable/channeldef.js';
import type {LayerSpec, UnitSpec} from 'vega-lite/types_unstable/spec/index.js';

/** An axis of a chart, and the field that it shows. */
export type Axis = PositionFieldDef<Field>;
/** Several marks in one place. */
export type Panel = LayerSpec<Field>;
/** One mark. */
export type Mark = UnitSpec<Field>;
