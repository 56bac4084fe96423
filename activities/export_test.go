package activities

// FreeBytes lets tests fill a disk on paper.
var FreeBytes = freeBytes

// Describe is the first half of DownloadScrapingJob.
var Describe = (*Activities).describe
