#!/usr/bin/perl
# Starts a program that makes a daemon of itself, and stays to bury it and what it leaves: QEMU becomes an orphan at its
# start, and libvirt waits at a guest's end until somebody has taken note of it. On a host that is systemd, at once; the
# first process of a container may take seconds. Ends as the program does; the part that stays ends with the last child.
#
#   start-daemon.pl <program> [arguments]
use strict;
use warnings;
use POSIX ();

my %prctl = (x86_64 => 157, aarch64 => 167);
my $PR_SET_CHILD_SUBREAPER = 36;
my $number = $prctl{(POSIX::uname())[4]};

pipe(my $from, my $to) or die "pipe: $!\n";
my $stays = fork() // die "fork: $!\n";
if ($stays) {
  close $to;
  my $status = <$from> // 1;
  POSIX::_exit($status);
}

close $from;
POSIX::setsid();
warn "orphans go to the machine's first process: no prctl(2) known here\n" unless defined $number;
die "prctl: $!\n" if defined $number && syscall($number, $PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0;
my $program = fork() // die "fork: $!\n";
if (!$program) {
  close $to;
  exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
}
waitpid($program, 0);
my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
# Whoever started this waits for the end of its output, too.
for my $stream (*STDIN, *STDOUT, *STDERR) { open $stream, '+<', '/dev/null' }
print {$to} $status;
close $to;
1 while wait() != -1;
