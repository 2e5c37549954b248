// What scim-patch makes of the cases on standard input: [{"before": {…}, "operations": […]}]. A refusal is its type.
import fs from 'node:fs';
import { patchBodyValidation, scimPatch } from 'scim-patch';

const schemas = ['urn:ietf:params:scim:api:messages:2.0:PatchOp'];
const out = JSON.parse(fs.readFileSync(0)).map(({ before, operations }) => {
  try {
    patchBodyValidation({ schemas, Operations: operations });
    const { schemas: _, meta: __, ...rest } = scimPatch({ schemas: [], meta: {}, ...before }, operations);
    return { result: rest };
  } catch (e) {
    return { error: e.scimCode ?? e.message };
  }
});
console.log(JSON.stringify(out));
