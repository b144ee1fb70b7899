/** Where a VM that moves live is, from what both hosts say of it. */

/** Where a VM stands on one host. */
export const LivePlace = {
  /** libvirt knows no such VM. */
  gone: 'gone',
  /** Defined, and off for another reason than a move. */
  off: 'off',
  /** Defined, and off because it moved away. */
  movedAway: 'moved-away',
  running: 'running',
  /** Paused by a person or a fault, not by a move. */
  paused: 'paused',
  /** Paused by a move: at the source at the switch, at the target until then. */
  switching: 'switching',
  /** Arrived whole at the target, and paused there until the source is known to have let go. */
  held: 'held',
  /** In post-copy: paused at the source, running at the target without all of its memory. */
  postCopy: 'post-copy',
  /** Post-copy was interrupted: neither side has the whole guest. */
  postCopyFailed: 'post-copy-failed',
} as const;
export type LivePlace = (typeof LivePlace)[keyof typeof LivePlace];

/** The code of the fault that libvirt at the target did not keep the definition of a guest that has arrived. */
export const targetNotKept = 'live-target-not-kept';

/** What kind of work a job of libvirt's is, as far as a move asks. */
export const LiveJobKind = {
  none: 'none',
  /** A migration away from here. */
  outgoing: 'outgoing',
  /** A migration towards here. */
  incoming: 'incoming',
  /** A save, a backup and the like. */
  other: 'other',
} as const;
export type LiveJobKind = (typeof LiveJobKind)[keyof typeof LiveJobKind];

export interface LiveHostView {
  place: LivePlace;
  job: LiveJobKind;
  /** Said by the source: somebody had paused the guest before it moved, so it stays paused after. */
  keepPaused?: true;
}

/** How a live move stands, by both hosts. */
export const LiveOutcome = {
  /** It still runs; attach to it. */
  moving: 'moving',
  /** The VM is at the source, and nothing of it at the target. */
  stayed: 'stayed',
  /** The VM runs at the target (or is paused there, as it was before), and the source let go. */
  arrived: 'arrived',
  /** It is held at the target, and the source let go: it may go on there. */
  arrivedHeld: 'arrived-held',
  /** It goes on at the source, and what is held at the target is to be ended: its answer was lost at the switch. */
  heldInVain: 'held-in-vain',
  /** It is at the target, while the source holds a paused copy that no job will end. */
  arrivedInHalf: 'arrived-in-half',
  /** It is paused at the source for a switch that never came, and gone from the target. */
  stuck: 'stuck',
  postCopyFailed: 'post-copy-failed',
  /** No job, and yet halfway: libvirtd may not have come to it yet. Look again before anything is done. */
  undecided: 'undecided',
  /** It is active on both sides and no job explains it: stop and call a person. */
  split: 'split',
  /** It is active on neither side, and it never left: its guest or QEMU came to an end. */
  down: 'down',
} as const;
export type LiveOutcome = (typeof LiveOutcome)[keyof typeof LiveOutcome];

const active: readonly LivePlace[] = [LivePlace.running, LivePlace.paused];
const empty: readonly LivePlace[] = [LivePlace.gone, LivePlace.off];

/**
 * What the two views say together. Take the target's first, then the source's, and neither from memory: a move that
 * ends between the two then never reads as `split`. `arrived-in-half`, `stuck` and `undecided` are to be
 * seen for a while, and not once, before anybody acts upon them: each is also a moment of a healthy run.
 */
export function liveOutcome(views: { source: LiveHostView; target: LiveHostView }): LiveOutcome {
  const { source, target } = views;
  if (source.place === LivePlace.postCopyFailed || target.place === LivePlace.postCopyFailed)
    return LiveOutcome.postCopyFailed;
  if (source.job === LiveJobKind.outgoing) return LiveOutcome.moving;
  if (target.job === LiveJobKind.incoming) return LiveOutcome.undecided;
  const atSource = active.includes(source.place);
  const atTarget = active.includes(target.place);
  if (atSource && atTarget) return LiveOutcome.split;
  const isHeld = target.place === LivePlace.held;
  if (isHeld && atSource) return LiveOutcome.heldInVain;
  if (source.place === LivePlace.switching) {
    if (atTarget || isHeld) return LiveOutcome.arrivedInHalf;
    return empty.includes(target.place) ? LiveOutcome.stuck : LiveOutcome.undecided;
  }
  const halfway: readonly LivePlace[] = [LivePlace.switching, LivePlace.postCopy];
  if (halfway.includes(source.place) || halfway.includes(target.place))
    return LiveOutcome.undecided;
  if (isHeld) return LiveOutcome.arrivedHeld;
  if (atTarget) return LiveOutcome.arrived;
  if (atSource) return LiveOutcome.stayed;
  // It left well, and was shut down at the target since.
  if (source.place === LivePlace.movedAway && target.place === LivePlace.off)
    return LiveOutcome.arrived;
  return LiveOutcome.down;
}
