#!/bin/sh
# Makes the namespace if it is missing. Closed moves stay visible for 30 days; old payload keys are needed as long.
set -eu
temporal operator namespace describe --namespace default >/dev/null 2>&1 ||
  temporal operator namespace create --namespace default --retention 720h
