/** What `vmferry completion SHELL` prints: each asks `vmferry __complete -- WORDS...` and shows what it says. */

const bash = `# bash completion of vmferry: source <(vmferry completion bash)
_vmferry() {
  local line value
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o default
      continue
    fi
    value=\${line%%$'\\t'*}
    COMPREPLY+=("$(printf '%q' "$value")")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _vmferry vmferry
`;

const zsh = `#compdef vmferry
# zsh completion of vmferry: source <(vmferry completion zsh), after compinit
_vmferry() {
  local line value
  local -a described
  for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      _files
    elif [[ -n $line ]]; then
      value=\${line%%$'\\t'*}
      described+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done
  (( \${#described} )) && _describe vmferry described
}
compdef _vmferry vmferry
`;

const fish = `# fish completion of vmferry: vmferry completion fish | source
function __vmferry_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l program $before[1]
    set -e before[1]
    for line in ($program __complete -- $before "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c vmferry -f -a '(__vmferry_complete)'
`;

/** The script of each shell. */
export const completionScripts = { bash, zsh, fish } as const;
export type Shell = keyof typeof completionScripts;
