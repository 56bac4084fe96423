package mapping

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNameBytes is the maximum length of a name in PostgreSQL, which truncates longer ones.
const maxNameBytes = 63

// resolve returns the node that an alias refers to.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// field is a key of an object and the function that reads its value.
type field struct {
	key     string
	read    func(value *yaml.Node) // nil if the caller reads it
	missing string                 // the problem if the key is missing; "" if it is optional
}

// object reads the fields of an object in order, and returns its values, nil if it is not
// an object. what names it in problems.
func (r *reader) object(node *yaml.Node, what string, fields ...field) (values map[string]*yaml.Node) {
	node = resolve(node)
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	if node.Kind != yaml.MappingNode {
		r.problem(node.Line, "%s is %s: want the keys %s with their values", what, described(node), joined(keys))
		return nil
	}
	values = map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := resolve(node.Content[i]), resolve(node.Content[i+1])
		switch before := values[key.Value]; {
		case key.Kind != yaml.ScalarNode || !slices.Contains(keys, key.Value):
			r.problem(key.Line, "%s has the unknown key %s: want one of %s", what, described(key), joined(keys))
		case before != nil:
			r.problem(key.Line, "%s is already set, on line %d", key.Value, before.Line)
		default:
			values[key.Value] = value
		}
	}
	for _, f := range fields {
		if value := values[f.key]; value == nil && f.missing != "" {
			r.problem(node.Line, "%s", f.missing)
		} else if value != nil && f.read != nil {
			f.read(value)
		}
	}
	return values
}

// list reads a non-empty list.
func (r *reader) list(node *yaml.Node, key, of string) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		r.problem(node.Line, "%s is %s: want a list of %s", key, described(node), of)
		return nil
	}
	if len(node.Content) == 0 {
		r.problem(node.Line, "%s is an empty list: want at least one of the %s", key, of)
	}
	nodes := make([]*yaml.Node, len(node.Content))
	for i, element := range node.Content {
		nodes[i] = resolve(element)
	}
	return nodes
}

// filled reads a non-empty text, "" for a problem. Numbers and the like are taken
// literally.
func (r *reader) filled(node *yaml.Node, key string) string {
	switch {
	case node.Kind != yaml.ScalarNode || node.Tag == "!!null":
		r.problem(node.Line, "%s is %s: want a text", key, described(node))
		return ""
	case node.Value == "":
		r.problem(node.Line, "%s is empty", key)
	case strings.Contains(node.Value, "\x00"):
		r.problem(node.Line, "%s is %q: no name has the character U+0000", key, node.Value)
		return ""
	}
	return node.Value
}

// oneOf reads one of the names, "" for a problem.
func oneOf[T ~string](r *reader, node *yaml.Node, key string, names []T) T {
	text := T(r.filled(node, key))
	if text != "" && !slices.Contains(names, text) {
		r.problem(node.Line, "%s is %q: want one of %s", key, text, joined(names))
		return ""
	}
	return text
}

func (r *reader) boolean(node *yaml.Node, key string) (value bool) {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" || node.Decode(&value) != nil {
		r.problem(node.Line, "%s is %s: want true or false", key, described(node))
	}
	return value
}

func (r *reader) number(node *yaml.Node, key string, lowest, highest int) int {
	n, err := strconv.Atoi(node.Value)
	if node.Kind != yaml.ScalarNode || node.Tag != "!!int" || err != nil || n < lowest || n > highest {
		r.problem(node.Line, "%s is %s: want a whole number from %d to %d", key, described(node), lowest, highest)
	}
	return n
}

// checkName checks the length of a name for PostgreSQL.
func (r *reader) checkName(line int, what, name string) {
	if len(name) > maxNameBytes {
		r.problem(line, "%s is %d bytes long: want at most %d, PostgreSQL truncates longer ones", what, len(name), maxNameBytes)
	}
}

// described describes a node for an error.
func described(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "an object"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!null":
		return "empty"
	default:
		return strconv.Quote(node.Value)
	}
}

func joined[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}
