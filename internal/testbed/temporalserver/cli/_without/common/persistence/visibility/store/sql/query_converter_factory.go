package sql

import (
	"go.temporal.io/server/common/namespace"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/searchattribute"
)

// NewQueryConverter is as the server's, but for MySQL and PostgreSQL, whose drivers would
// have to be compiled.
func NewQueryConverter(
	pluginName string, namespaceName namespace.Name, namespaceID namespace.ID,
	types searchattribute.NameTypeMap, mapper searchattribute.Mapper, query string,
) *QueryConverter {
	if pluginName != sqlite.PluginName {
		return nil
	}
	return newSqliteQueryConverter(namespaceName, namespaceID, types, mapper, query)
}
