package program

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
)

// complete answers a shell that asks, through the environment, how a command
// line may go on, and says whether one did.
func complete(parser *kong.Kong) (asked bool) {
	kongplete.Complete(parser, kongplete.WithExitFunc(func(int) { asked = true }))
	return asked
}

// completionScripts have the program itself asked, as kongplete answers.
var completionScripts = map[string]string{
	"bash": "complete -C {path} {name}\n",
	"zsh":  "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\ncomplete -o nospace -C {path} {name}\n",
	"fish": `function __complete_{name}
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    {path}
end
complete -f -c {name} -a "(__complete_{name})"
`,
}

// CompletionCommand prints what a shell needs to complete a program's command
// line.
type CompletionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help shows how to use it.
func (CompletionCommand) Help() string {
	return "For this session of bash: source <(starter completion bash)"
}

// Run prints the script.
func (c *CompletionCommand) Run(command *kong.Context, streams Streams) error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's own file: %w", err)
	}
	path = quoteForShell(path)
	if c.Shell != "fish" {
		path = quoteForShell(path) // complete -C takes a command line
	}
	replace := strings.NewReplacer("{path}", path, "{name}", command.Model.Name)
	_, err = replace.WriteString(streams.Out, completionScripts[c.Shell])
	return err
}

// quoteForShell quotes a path that is not plain.
func quoteForShell(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
