import { runEngineCases } from '../../../test/setup/engine-cases.ts'
import { onnxruntimeEngine } from './index.ts'

runEngineCases(onnxruntimeEngine())
