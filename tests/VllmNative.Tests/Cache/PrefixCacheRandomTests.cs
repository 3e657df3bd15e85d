using VllmNative.Cache;
using VllmNative.Cache.Eviction;
using VllmNative.Requests;
using VllmNative.Steps;
using Xunit;

namespace VllmNative.Tests.Cache;

/// <summary>
/// Random operations on the prefix cache beside a plain model of it: a list of what each known block holds and behind which other one. Both
/// must find the same blocks for every prompt, no fewer and no others.
/// </summary>
public sealed class PrefixCacheRandomTests
{
    private const int BlockSize = 2;

    [Fact]
    public void Every_prompt_finds_what_the_plain_model_finds()
    {
        long hits = 0;
        long evictions = 0;
        int foreseen = 0;
        Seeds.Each(0, 1000, "", seed =>
        {
            var life = new Life(seed);
            for (int i = 0; i < 150; i++)
            {
                life.Operate();
            }

            hits += life.Hits;
            evictions += life.Evictions;
            foreseen += life.Foreseen;
        });
        Assert.True(hits > 10_000 && evictions > 20_000 && foreseen > 3000, $"{hits} blocks found, {evictions} evicted, {foreseen} prompts looked up before");
    }

    /// <summary>A known block's content; two that hold the same are two.</summary>
    /// <param name="parent">The block before it, or the salt of a first one.</param>
    /// <param name="tokens">What it holds, as text.</param>
    private sealed class Known(object parent, string tokens)
    {
        internal object Parent => parent;

        internal string Tokens => tokens;
    }

    private sealed class Life
    {
        private readonly Random _random;
        private readonly BlockPool _pool;
        private readonly PrefixCache _prefixes;
        private readonly KvCacheManager _cache;
        private readonly StepPlan _plan = new(1, 64);
        private readonly Dictionary<int, Known> _known = []; // by block
        private readonly List<(Request Request, Known? Last)> _running = [];
        private readonly HashSet<Request> _old = []; // whose blocks a reset has made unknown for good
        private readonly List<Request> _prepared = [];
        private readonly int[] _nodes;

        internal Life(int seed)
        {
            _random = new Random(seed);
            _pool = new BlockPool(_random.Next(6, 24), EvictionPolicies.Names[_random.Next(EvictionPolicies.Names.Count)]);
            _prefixes = new PrefixCache(_pool, 0, BlockSize);
            _cache = new KvCacheManager(_pool, BlockSize, _prefixes);
            _nodes = new int[_prefixes.Index.Capacity];
        }

        internal long Hits { get; private set; }

        internal int Foreseen { get; private set; }

        internal long Evictions => _pool.Evictions;

        internal void Operate()
        {
            switch (_random.Next(12))
            {
                case < 3:
                    Begin(NewRequest());
                    break;
                case < 5:
                    // It comes later: much may have changed by then.
                    Request request = NewRequest();
                    _prefixes.Prepare(request);
                    _prepared.Add(request);
                    break;
                case < 7 when _prepared.Count > 0:
                    Request prepared = _prepared[_random.Next(_prepared.Count)];
                    _prepared.Remove(prepared);
                    Foreseen += prepared.Foreseen is null ? 0 : 1;
                    Begin(prepared);
                    break;
                case < 9 when _running.Count > 0:
                    GoOn(_random.Next(_running.Count));
                    break;
                case < 11 when _running.Count > 0:
                    End(_random.Next(_running.Count));
                    break;
                case 11 when _random.Next(3) == 0:
                    _prefixes.Forget(_random.Next(1, _pool.Total));
                    break;
                case 11 when _random.Next(6) == 0:
                    _prefixes.Reset();
                    _old.UnionWith(_running.Select(at => at.Request));
                    break;
            }

            Settle();
            Assert.Equal(Enumerable.Range(0, _pool.Total).Where(_pool.IsIndexed), _known.Keys.Order());
            CacheInvariants.Check(_pool, _running.Select(at => at.Request), _prefixes);
        }

        private Request NewRequest()
        {
            int[] prompt = [.. Enumerable.Range(0, _random.Next(1, 13)).Select(_ => _random.Next(2))];
            return new Request(1, prompt, SamplingParams.Greedy, 12, [], BlockSize, seed: 0) { Scheduling = new RequestScheduling { CacheSalt = _random.Next(4) == 0 ? "salt" : null } };
        }

        private void Begin(Request request)
        {
            _cache.Enter(request);
            ReadOnlySpan<int> nodes = _nodes.AsSpan(0, _prefixes.Match(request, _nodes));
            (int[] blocks, Known? last) = Find(request);
            int[] found = [.. nodes.ToArray().Select(_prefixes.Index.DeviceBlockOf)];
            Assert.Equal(blocks, found);
            Hits += found.Length;
            _cache.Borrow(request, nodes);
            _running.Add((request, last));
            Compute(_running.Count - 1);
        }

        private void GoOn(int at)
        {
            Request request = _running[at].Request;
            for (int i = _random.Next(1, 4); i > 0 && request.OutputLength < request.MaxTokens; i--)
            {
                request.Append(_random.Next(2));
            }

            Compute(at);
        }

        private void Compute(int at)
        {
            Request request = _running[at].Request;
            if (!_cache.TryGrow(request, request.Length, _plan))
            {
                End(at);
                return;
            }

            Settle();
            int before = request.NodeCount;
            request.Scheduled = request.Length;
            _cache.Register(request);
            _running[at] = (request, Register(request, before, _running[at].Last));
            _plan.Clear();
        }

        private void End(int at)
        {
            Request request = _running[at].Request;
            _running.RemoveAt(at);
            _cache.Free(request);
            _cache.Leave(request);
        }

        // The model: blocks that the pool has given to somebody else, or that were forgotten, are not known.
        private void Settle()
        {
            foreach (int block in _known.Keys.Where(block => !_pool.IsIndexed(block)).ToArray())
            {
                _known.Remove(block);
            }
        }

        private static string TokensOf(Request request, int block) => string.Join(' ', request.Tokens.Span.Slice(block * BlockSize, BlockSize).ToArray());

        private KeyValuePair<int, Known>? Behind(object parent, string tokens)
        {
            KeyValuePair<int, Known>[] found = [.. _known.Where(known => Equals(known.Value.Parent, parent) && known.Value.Tokens == tokens)];
            Assert.True(found.Length <= 1, "two blocks are known for the same");
            return found.Length == 0 ? null : found[0];
        }

        private static object RootOf(Request request) => request.Scheduling.CacheSalt ?? "no salt";

        private (int[] Blocks, Known? Last) Find(Request request)
        {
            List<int> blocks = [];
            Known? last = null;
            while ((blocks.Count + 1) * BlockSize < request.Length && Behind(last ?? RootOf(request), TokensOf(request, blocks.Count)) is { } next)
            {
                blocks.Add(next.Key);
                last = next.Value;
            }

            return ([.. blocks], last);
        }

        private Known? Register(Request request, int from, Known? last)
        {
            for (int block = from; !_old.Contains(request) && (block + 1) * BlockSize <= request.Length; block++)
            {
                Known? same = Behind(last ?? RootOf(request), TokensOf(request, block))?.Value;
                if (same is null && _known.ContainsKey(request.Blocks[block]))
                {
                    return last;
                }

                if (same is null)
                {
                    same = new Known(last ?? RootOf(request), TokensOf(request, block));
                    _known.Add(request.Blocks[block], same);
                }

                last = same;
            }

            return last;
        }
    }
}
