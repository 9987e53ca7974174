import { runEngineCases } from '../../../test/setup/engine-cases.ts'
import { referenceEngine } from './index.ts'

// Against itself this checks shapes, state, changing dimensions and what is known by hand; the kernels' own numbers are
// checked by their derivatives (ops/gradients.test.ts) and by other engines.
runEngineCases(referenceEngine())
