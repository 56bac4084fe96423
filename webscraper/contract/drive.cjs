// Makes calls of the vendor's package and prints, for each, a line with its
// outcome: {"value": …} or {"error": "…"}. The calls are the JSON array in the
// first argument. Each has the object it starts from and steps: a method is
// called on what the step before it returned, or, when that has keep, on what
// that one was called on. What an async generator yields is collected.
"use strict";

const {Client, JsonReader} = require("@webscraperio/api-client-nodejs");

const objects = {
	client: () => new Client({token: process.env.WEBSCRAPERTEST_TOKEN}),
	reader: (file) => new JsonReader(file),
	// Which methods there are to call.
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
