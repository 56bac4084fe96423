// Makes calls to the vendor's package and prints one line per call with its outcome:
// {"value": …} or {"error": "…"}. The first argument is a JSON array of calls. Each has
// the object it starts from and steps: a method is called on what the previous step
// returned, or, if that has keep, on the same object again. The items of an async
// generator are collected.
"use strict";

const {Client, JsonReader} = require("@webscraperio/api-client-nodejs");

const objects = {
	client: () => new Client({token: process.env.WEBSCRAPERTEST_TOKEN}),
	reader: (file) => new JsonReader(file),
	// Lists the client's methods.
	methods: () => ({list: () => Object.getOwnPropertyNames(Client.prototype).filter((name) => name !== "constructor")}),
};

async function outcome({object, file, steps}) {
	let value = objects[object](file);
	for (const {method, args, keep} of steps) {
		let result = await value[method](...args);
		if (result !== undefined && result[Symbol.asyncIterator]) {
			const items = [];
			for await (const item of result) {
				items.push(item);
			}
			result = items;
		}
		if (!keep) {
			value = result;
		}
	}
	return value;
}

(async () => {
	for (const call of JSON.parse(process.argv[2])) {
		let line;
		try {
			line = {value: await outcome(call)};
		} catch (error) {
			line = {error: String(error)};
		}
		console.log(JSON.stringify(line));
	}
})();
