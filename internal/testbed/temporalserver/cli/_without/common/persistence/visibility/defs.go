package visibility

import (
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
)

// As the server's, but for MySQL and PostgreSQL, whose drivers would have to be compiled.
const (
	SecondaryVisibilityWritingModeOff  = "off"
	SecondaryVisibilityWritingModeOn   = "on"
	SecondaryVisibilityWritingModeDual = "dual"
)

// AllowListForValidation is the list itself, unless the store is one of SQL.
func AllowListForValidation(storeNames []string, allowList dynamicconfig.BoolPropertyFnWithNamespaceFilter) dynamicconfig.BoolPropertyFnWithNamespaceFilter {
	if len(storeNames) == 0 || storeNames[0] == sqlite.PluginName {
		return dynamicconfig.GetBoolPropertyFnFilteredByNamespace(false)
	}
	return allowList
}
