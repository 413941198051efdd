import "reflect-metadata";
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { Controller, type ExecutionContext, Get, HttpException, Module } from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { RateLimiter, tokenBucket } from "sluice";
import {
  RateLimit,
  RateLimitException,
  RateLimitGuard,
  RateLimitModule,
  SkipRateLimit,
} from "sluice/nest";

const limiter = new RateLimiter({
  policy: tokenBucket({ name: "burst", limit: 2, period: "1h" }),
});
const search = new RateLimiter({
  policy: tokenBucket({ name: "search", limit: 1, period: "1h" }),
});

@Controller()
class AppController {
  @Get()
  home(): string {
    return "hello";
  }

  @Get("search")
  @RateLimit({
    charge: (context: ExecutionContext, call, limiterNamed) => ({
      limiter: limiterNamed("search"),
      key: context.switchToHttp().getRequest<{ ip: string }>().ip + call.method,
      settle: ({ status }) => (status === 200 ? 1 : 0),
    }),
    onDenied: (_context, denial) => new HttpException("slowly", denial.status),
  })
  search(): string {
    return "found";
  }

  @Get("named")
  @RateLimit("search")
  named(): string {
    return "found";
  }

  @Get("health")
  @SkipRateLimit()
  health(): string {
    return "ok";
  }
}

@Module({
  imports: [
    RateLimitModule.forRootAsync({
      useFactory: () => ({
        limiters: { search },
        charge: (_context, { address }) => ({ limiter, key: address }),
      }),
    }),
  ],
  controllers: [AppController],
  providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ["error"] });
await app.listen(0, "127.0.0.1");
const { port } = app.getHttpServer().address() as AddressInfo;
const statusOf = async (path: string): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } })).status;
assert.deepEqual([await statusOf("/"), await statusOf("/"), await statusOf("/")], [200, 200, 429]);
assert.deepEqual([await statusOf("/search"), await statusOf("/search")], [200, 429]);
assert.deepEqual([await statusOf("/named"), await statusOf("/named")], [200, 429]);
assert.equal(await statusOf("/health"), 200);
assert.ok(RateLimitException.prototype instanceof HttpException);
await app.close();
