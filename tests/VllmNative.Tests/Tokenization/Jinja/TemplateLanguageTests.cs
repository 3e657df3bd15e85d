using Xunit;

namespace VllmNative.Tests.Tokenization.Jinja;

/// <summary>Expected values are what Jinja2 renders with trim_blocks and lstrip_blocks on.</summary>
public class TemplateLanguageTests
{
    [Theory]
    [InlineData("a\n{% if t %}\nb\n{% endif %}\nc", "a\nb\nc")]
    [InlineData("a\n  {% if t %}\nb\n  {% endif %}\nc\n", "a\nb\nc")]
    [InlineData("a\n  {%+ if t %}b{% endif +%}\nc", "a\n  b\nc")]
    [InlineData("a  {%- if t -%}  b  {%- endif -%}  c", "abc")]
    [InlineData("a  {{- 'x' -}}  c", "axc")]
    [InlineData("a\n  {{ 'x' }}\n", "a\n  x")]
    [InlineData("a {# note #}\nb{#- note -#} c", "a bc")]
    [InlineData("  {# note #}\nb", "b")]
    [InlineData("{% raw %}{{ x }}{% if %}{% endraw %}", "{{ x }}{% if %}")]
    [InlineData("{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "}}1")]
    [InlineData("a\r\nb", "a\nb")]
    [InlineData("x\n\n", "x\n")]
    [InlineData("a { b } %} }}", "a { b } %} }}")]
    public void Whitespace_and_tags(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("{{ 1 + 2 * 3 - 4 }}", "3")]
    [InlineData("{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 4 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}", "3 -4 1 2 3.5 2.0 1024 0.5")]
    [InlineData("{{ 1.0 }} {{ 0.1 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 123.456 }} {{ -0.5 }} {{ 1.5e300 }} {{ big }}", "1.0 0.1 1e+16 1000000000000000.0 0.0001 1e-05 123.456 -0.5 1.5e+300 1e+22")]
    [InlineData("{{ 'a' + 'b' ~ 1 ~ none ~ true }}", "ab1NoneTrue")]
    [InlineData("{{ 'a' 'b' }}", "ab")]
    [InlineData("{{ 'ab' * 3 }} {{ [1] * 2 }} {{ [1] + [2] }}", "ababab [1, 1] [1, 2]")]
    [InlineData(@"{{ 'a\n\t\'\\\x41\u00e9\q' }}", "a\n\t'\\A\u00e9\\q")]
    [InlineData("{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ 'a' != 'b' }} {{ 1 == true }}", "True False True True True")]
    [InlineData("{{ 2 in l }} {{ 5 not in l }} {{ 'ell' in s }} {{ 'a' in d }} {{ 'z' in missing }}", "True True True True False")]
    [InlineData("{{ not e }} {{ e or 'x' }} {{ n and 'y' }} {{ e and 'y' }}|", "True x y |")]
    [InlineData("{{ 'yes' if n > 2 else 'no' }} {{ 'yes' if n > 5 }}|", "yes |")]
    [InlineData("{{ l[0] }} {{ l[-1] }} {{ l[9] }}| {{ s[0] }} {{ s[-1] }} {{ d['a'].x[0] }} {{ d.b }}", "3 2 | H d 1 1")]
    [InlineData("{{ l[1:] }} {{ l[::-1] }} {{ l[:-1] }} {{ s[6:] }} {{ s[::-1] }} {{ s[-3:-1] }} {{ l[5:] }} {{ l[::2] }}", "[1, 2] [2, 1, 3] [3, 1] World dlroW olleH rl [] [3, 2]")]
    [InlineData("{{ emoji[1] }} {{ emoji | length }} {{ emoji[::-1] }}", "\U0001F600 3 b\U0001F600a")]
    [InlineData("{{ (1, 'a') }} {{ (1,) }} {{ () }} {{ [1, [2.0, none]] }} {{ {'a': 'it\\'s'} }}", "(1, 'a') (1,) () [1, [2.0, None]] {'a': \"it's\"}")]
    [InlineData("{{ missing }}|{{ d.missing }}|{{ nil }}", "||None")]
    [InlineData("{{ -n }} {{ +n }} {{ - n ** 2 }}", "-3 3 9")]
    [InlineData("{{ not n == 3 }} {{ n is defined and missing is not defined }}", "False True")]
    [InlineData("{{ 1_000 + 1 }}", "1001")]
    [InlineData("{{ d.items() | list }}", "[('b', 1), ('a', {'x': [1, 2.0, 'é\"<>\\n']})]")]
    public void Expressions(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }} {% endfor %}",
        "10TrueFalse33 21FalseFalse32 32FalseTrue31 ")]
    [InlineData("{% for x in l if x > 1 %}{{ x }}{{ loop.length }} {% endfor %}", "32 22 ")]
    [InlineData("{% for x in [] %}a{% else %}none{% endfor %}{% for x in missing %}a{% else %}!{% endfor %}", "none!")]
    [InlineData("{% for k, v in d.items() %}{{ k }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}", "b;a;ba")]
    [InlineData("{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "0134")]
    [InlineData("{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "2221")]
    [InlineData("{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "7")]
    [InlineData("{% if e %}a{% elif n == 3 %}b{% else %}c{% endif %}", "b")]
    [InlineData("{% if t %}{% set y = 5 %}{% endif %}{{ y }}", "5")]
    [InlineData("{% set a, b = 1, 2 %}{{ a }}{{ b }}", "12")]
    [InlineData("{% set x | upper %}abc {{ n }}{% endset %}{{ x }}", "ABC 3")]
    [InlineData("{% macro m(a, b='z', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=2) }} {{ m(b=3, a=4) }}", "1zNone 1z2 43None")]
    [InlineData("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210")]
    [InlineData("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3")]
    [InlineData("{% filter upper %}a{{ n }}{% endfilter %}", "A3")]
    [InlineData("{% generation %}x{% endgeneration %}", "x")]
    [InlineData("{% for a in l %}{% for b in l %}{{ loop.depth }}{% endfor %}/{{ loop.previtem }}/{{ loop.nextitem }} {% endfor %}", "222//1 222/3/2 222/1/ ")]
    [InlineData("{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ range(3, 0, -1) | list }}", "[0, 1, 2] [1, 3, 5] [3, 2, 1]")]
    [InlineData("{{ strftime_now('%d %b %Y %H:%M %-d %A %%') }}", "05 Jul 2024 09:03 5 Friday %")]
    [InlineData("{{ bos_token }}{{ dict(a=1).a }}{{ messages[0]['role'] }}{{ messages[0].content }}", "<s>1userhi")]
    public void Statements(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("{{ '  a b ' | trim }}|{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|", "a b|x|a|a | a|")]
    [InlineData("{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.split('</think>')[-1] }}",
        "['a', 'b', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] abc")]
    [InlineData("{{ s.startswith('Hell') }} {{ s.endswith('x') }} {{ s.startswith(('x', 'H')) }} {{ s.find('W') }} {{ s.count('l') }}", "True False True 6 3")]
    [InlineData("{{ s | upper }} {{ s.lower() }} {{ 'ab-cd ef'.title() }} {{ 'ab cD' | capitalize }} {{ 'ab-cd' | title }}", "HELLO WORLD hello world Ab-Cd Ef Ab cd Ab-Cd")]
    [InlineData("{{ s.replace('l', 'L') }} {{ s | replace('o', '0', 1) }} {{ 'abc'.removeprefix('a').removesuffix('c') }}", "HeLLo WorLd Hell0 World b")]
    [InlineData("{{ l | length }} {{ s | count }} {{ l | join('-') }} {{ users | join(',', attribute='name') }} {{ '+'.join(['a', 'b']) }}", "3 11 3-1-2 Bo,al,Cy a+b")]
    [InlineData("{{ missing | default('x') }} {{ e | default('x') }}|{{ e | default('x', true) }} {{ nil | d('y', boolean=true) }}", "x |x y")]
    [InlineData("{{ l | first }} {{ l | last }} {{ [] | first }}| {{ 'abc' | list }} {{ l | sort }} {{ l | reverse | list }} {{ l | sort(reverse=true) }}",
        "3 2 | ['a', 'b', 'c'] [1, 2, 3] [2, 1, 3] [3, 2, 1]")]
    [InlineData("{{ users | map(attribute='name') | list }} {{ ['a', 'b'] | map('upper') | list }} {{ users | map(attribute='age', default=0) | list }}",
        "['Bo', 'al', 'Cy'] ['A', 'B'] [3, 2, 0]")]
    [InlineData("{{ users | selectattr('age', 'defined') | map(attribute='name') | list }} {{ users | selectattr('on') | list | length }} {{ users | rejectattr('name', 'equalto', 'Bo') | list | length }}",
        "['Bo', 'al'] 1 2")]
    [InlineData("{{ [1, 2, 3, 4] | select('even') | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [0, 1] | select | list }} {{ l | select('>', 1) | list }}",
        "[2, 4] [2] [1] [3, 2]")]
    [InlineData("{{ '3' | int }} {{ '3.9' | int }} {{ 'x' | int(7) }} {{ '1.5' | float }} {{ 3 | string }} {{ 3.7 | int }} {{ 'x' | float }}", "3 3 7 1.5 3 3 0.0")]
    [InlineData("{{ -3 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') }} {{ [1, 5, 2] | max }} {{ [4, 1] | min }} {{ l | sum }}", "3 2.57 2.0 3.0 5 1 6")]
    [InlineData("{{ d | dictsort | first | first }} {{ {'b': 1, 'A': 2} | dictsort }} {{ ['a', 'A', 'b'] | unique | list }} {{ d | items | list | length }}",
        "a [('A', 2), ('b', 1)] ['a', 'b'] 2")]
    [InlineData("{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}", "a\n  b\n\n  c|  a\n  b")]
    [InlineData("{{ '<a> & \"b\"' | e }} {{ 'x' | safe }} {{ '%s-%d' | format('a', 3) }} {{ '%s %%' % 'q' }}", "&lt;a&gt; &amp; &#34;b&#34; x a-3 q %")]
    [InlineData("{{ users | sort(attribute='name') | map(attribute='name') | list }} {{ d.get('zz', 4) }} {{ d.get('zz') }} {{ d.keys() | list }} {{ users[0].values() | list }}",
        "['al', 'Bo', 'Cy'] 4 None ['b', 'a'] ['Bo', 3, True]")]
    public void Filters_and_methods(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("{{ s is string }} {{ n is string }} {{ d is mapping }} {{ l is mapping }} {{ l is sequence }} {{ s is iterable }} {{ n is iterable }}", "True False True False True True False")]
    [InlineData("{{ n is number }} {{ t is number }} {{ f is float }} {{ n is integer }} {{ t is integer }} {{ t is boolean }} {{ nil is none }} {{ nil is not none }}",
        "True True True True False True True False")]
    [InlineData("{{ t is true }} {{ 1 is true }} {{ n is odd }} {{ n is divisibleby 3 }} {{ n is equalto 3 }} {{ n is eq(4) }} {{ 2 is in l }} {{ n is ge 3 }}",
        "True False True True True False True True")]
    [InlineData("{{ missing is undefined }} {{ d.x is defined }} {{ raise_exception is callable }} {{ 'a' is lower }}", "True False True True")]
    public void Tests(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));

    [Theory]
    [InlineData("{{ d | tojson }}", "{\"b\": 1, \"a\": {\"x\": [1, 2.0, \"é\\\"<>\\n\"]}}")]
    [InlineData("{{ d | tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": {\n    \"x\": [\n      1,\n      2.0,\n      \"é\\\"<>\\n\"\n    ]\n  }\n}")]
    [InlineData("{{ [none, true, 1e22, {}, [], 'a\\x07'] | tojson }}", "[null, true, 1e+22, {}, [], \"a\\u0007\"]")]
    [InlineData("{{ {} | tojson(indent=2) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", "{}{\"a\":2,\"b\":1}")]
    [InlineData("{{ emoji | tojson }}{{ emoji | tojson(ensure_ascii=true) }}", "\"a\U0001F600b\"\"a\\ud83d\\ude00b\"")]
    public void Json_is_written_as_the_reference_writes_it(string source, string expected) => Assert.Equal(expected, TemplateRendering.Render(source));
}
