# Runs a hook's command in a container, so that nothing of it stays when its time is over or nobody is connected any more.
# Arguments: time limit and grace in seconds, working directory, then the command.
# Standard input: variables as NAME=value, a line each (they are not to be seen in addresses and process lists), an empty
# line; after it any line, or its end, means: stop. It ends when the connection of whoever asked for the command is gone.
limit=$1 grace=$2 directory=$3
shift 3
while IFS= read -r line && [ -n "$line" ]; do export "$line"; done
cd "$directory" || exit 126
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
# A session of its own was made for this shell, so its number is that of the group; elsewhere only the command is reached.
ask() { kill "-$1" "-$$" 2>/dev/null || kill "-$1" "$child" 2>/dev/null; }
stop() {
    trap '' USR1
    ask TERM
    waited=0
    while [ "$waited" -lt "$grace" ] && kill -0 "$child" 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
    done
    ask KILL
}
(
    trap '' TERM
    while IFS= read -r line; do break; done <&3
    stop
) >/dev/null 2>&1 &
reader=$!
(
    trap '' TERM
    trap 'kill -KILL "$!" 2>/dev/null; wait; exit' USR1
    exec 3<&-
    sleep "$limit" &
    wait "$!" && stop
) >/dev/null 2>&1 </dev/null &
watcher=$!
stopping=
trap 'stopping=yes' TERM
wait "$child"
code=$?
# A signal ends the wait before the command ends.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
# Whoever stops the command also kills what of it goes on, and this shell with it.
if [ -n "$stopping" ]; then wait "$reader" "$watcher" 2>/dev/null; fi
kill -KILL "$reader" 2>/dev/null
kill -USR1 "$watcher" 2>/dev/null
wait "$reader" "$watcher" 2>/dev/null
# What the command left in the background would keep the connection open: all others of our group.
others() {
    left=
    for stat in /proc/[0-9]*/stat; do
        { IFS= read -r line <"$stat"; } 2>/dev/null || continue
        pid=${stat#/proc/}
        pid=${pid%/stat}
        # Behind the name, which stands in parentheses: state, parent, group.
        set -- ${line##*) }
        if [ "$3" = "$$" ] && [ "$pid" != "$$" ] && [ "$1" != Z ]; then left="$left $pid"; fi
    done
    [ -n "$left" ]
}
signal=TERM tries=0
while [ "$tries" -lt 3 ] && others; do
    kill "-$signal" $left 2>/dev/null
    sleep 1
    signal=KILL tries=$((tries + 1))
done
exit "$code"
