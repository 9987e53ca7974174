/**
 * @file adapter_config.json, the file that PEFT, AdapterHub and lowrank's own folders all say of an adapter what it is: its
 * name, and whose it is. Must not know its fields.
 */
import { isRecord } from '../support/json.ts'

export const ADAPTER_CONFIG = 'adapter_config.json'

/** Whether its JSON is AdapterHub's. */
export function isHubConfig(json: unknown): boolean {
  return isRecord(json) && json.peft_type === undefined && 'config' in json && 'hidden_size' in json
}
