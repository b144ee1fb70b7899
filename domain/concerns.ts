/** A reason for or against a move, found before it starts. */
export interface Concern {
  /** Stable, kebab-case. */
  code: string;
  level: 'critical' | 'warning' | 'information';
  message: string;
  remedy: string;
  host?: string;
}

/** Whether the list forbids the move. */
export const blocks = (concerns: readonly Concern[]): boolean =>
  concerns.some((concern) => concern.level === 'critical');
