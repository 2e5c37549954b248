// Runs the Postman collection against a demo, as Postman's own runner does, and says "good" if every request and every test in it passed.
import newman from "newman";

const { collection, environment } = JSON.parse(process.env.INPUT);
newman.run({ collection, environment, timeoutRequest: 20000 }, (error, summary) => {
  if (error) throw error;
  const { requests, assertions } = summary.run.stats;
  for (const f of summary.run.failures) {
    console.log(`${f.parent?.name} / ${f.source?.name}: ${f.error.name}: ${f.error.message}`);
  }
  console.log(`${requests.total} requests, ${assertions.total} tests`);
  if (summary.run.failures.length === 0 && requests.total >= 40 && assertions.total >= requests.total) console.log("good");
});
