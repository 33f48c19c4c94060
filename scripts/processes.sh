# Services as local processes: started into the background, found again, and ended with all they started.
# Linux only (/proc). Sourced after common.sh.
# shellcheck shell=bash

state=${STACK_DIR:-$root/build/stack}
# Every process of the stack carries this in its environment, and so does whatever it starts: no other process can be
# taken for one of them, also when a process id is used again.
mark=MTX_SUITE_STACK=$state

# Seconds since boot, in ticks, when the process started; nothing if there is none, or only its exit status is left.
started_at() { # PID
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The second field is the program's name in parentheses, and may hold anything.
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} == Z ]] || printf '%s\n' "${fields[19]}"
}

# The process id of a running service.
service_pid() { # NAME
    local pid start
    { read -r pid start <"$state/$1.pid"; } 2>/dev/null || return 1
    [[ -n $start && $(started_at "$pid") == "$start" ]] || return 1
    printf '%s\n' "$pid"
}

start_service() { # NAME COMMAND...
    local name=$1
    shift
    setsid env "$mark" "$@" </dev/null >"$state/$name.log" 2>&1 &
    printf '%s %s\n' "$!" "$(started_at "$!")" >"$state/$name.pid"
}

# The process ids of all that was started, and of all that those started.
members() {
    local file
    while read -r file; do
        file=${file#/proc/}
        [[ -z $(started_at "${file%/environ}") ]] || printf '%s\n' "${file%/environ}"
    done < <(grep -lzxF "$mark" /proc/[0-9]*/environ 2>/dev/null)
}

# Asks the services to end, gives them 7 s, and kills what is left.
stop_services() {
    local name pids deadline
    for name in "$state"/*.pid; do
        name=$(basename "$name" .pid)
        kill -TERM "$(service_pid "$name")" 2>/dev/null || true
    done
    deadline=$((SECONDS + 7))
    while mapfile -t pids < <(members) && ((${#pids[@]})); do
        if ((SECONDS >= deadline)); then
            kill -KILL "${pids[@]}" 2>/dev/null || true
        elif ! any_service; then
            # A child whose service is gone already.
            kill -TERM "${pids[@]}" 2>/dev/null || true
        fi
        sleep 0.1
    done
    rm -f "$state"/*.pid
}

any_service() {
    local file
    for file in "$state"/*.pid; do
        service_pid "$(basename "$file" .pid)" >/dev/null && return 0
    done
    return 1
}
