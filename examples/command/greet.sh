#!/bin/sh
# Any program will do: exit code 0 is COMPLETED, anything else CRASHED, and what it prints is the run's log.
set -eu
echo "$GREETING from run $DISPATCHER_RUN_NAME, attempt $DISPATCHER_RUN_ATTEMPT"
echo "parameters: $(cat "$DISPATCHER_PARAMETERS_FILE")"
