package activities

// FreeBytes lets tests fill a disk on paper.
var FreeBytes = freeBytes
