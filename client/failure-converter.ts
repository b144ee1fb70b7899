import { DefaultFailureConverter } from '@temporalio/common';

/**
 * Moves the message and the stack trace of every failure into a payload, so that the codec encrypts them like all
 * other data. Loaded by path on both sides: in the process (`dataConverter`) and inside the workflow bundle
 * (`bundleWorkflowCode({ failureConverterPath })`), because workflows write failures too.
 */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
