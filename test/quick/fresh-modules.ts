/** Test files of the quick lane share processes and what they import from packages, but no module of ours. */
import { vi } from 'vitest';

vi.resetModules();
